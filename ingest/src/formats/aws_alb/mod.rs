//! `aws_alb`: AWS Application Load Balancer. Fields were added at its end over the years; more will be.

use std::time::Duration;

use super::field::{Field, Meaning};
use super::text::TextFormat;
use super::{Format, GATHERED, Line};
use crate::reject::RejectReason;
use crate::row::Row;

const LAYOUTS: [&str; 5] = [
    r#"$type $time $elb $client $target $request_processing_time $target_processing_time $response_processing_time $elb_status_code $target_status_code $received_bytes $sent_bytes "$request" "$user_agent" $ssl_cipher $ssl_protocol $target_group_arn "$trace_id" "$domain_name" "$chosen_cert_arn" $matched_rule_priority $request_creation_time "$actions_executed" "$redirect_url" "$error_reason" "$target_port_list" "$target_status_code_list" "$classification" "$classification_reason" $conn_trace_id "$transformed_host" "$transformed_uri" "$request_transform_status""#,
    r#"$type $time $elb $client $target $request_processing_time $target_processing_time $response_processing_time $elb_status_code $target_status_code $received_bytes $sent_bytes "$request" "$user_agent" $ssl_cipher $ssl_protocol $target_group_arn "$trace_id" "$domain_name" "$chosen_cert_arn" $matched_rule_priority $request_creation_time "$actions_executed" "$redirect_url" "$error_reason" "$target_port_list" "$target_status_code_list" "$classification" "$classification_reason" $conn_trace_id"#,
    r#"$type $time $elb $client $target $request_processing_time $target_processing_time $response_processing_time $elb_status_code $target_status_code $received_bytes $sent_bytes "$request" "$user_agent" $ssl_cipher $ssl_protocol $target_group_arn "$trace_id" "$domain_name" "$chosen_cert_arn" $matched_rule_priority $request_creation_time "$actions_executed" "$redirect_url" "$error_reason" "$target_port_list" "$target_status_code_list" "$classification" "$classification_reason""#,
    r#"$type $time $elb $client $target $request_processing_time $target_processing_time $response_processing_time $elb_status_code $target_status_code $received_bytes $sent_bytes "$request" "$user_agent" $ssl_cipher $ssl_protocol $target_group_arn "$trace_id" "$domain_name" "$chosen_cert_arn" $matched_rule_priority $request_creation_time "$actions_executed" "$redirect_url" "$error_reason" $target_port_list $target_status_code_list "$classification" "$classification_reason" $conn_trace_id"#,
    r#"$type $time $elb $client $target $request_processing_time $target_processing_time $response_processing_time $elb_status_code $target_status_code $received_bytes $sent_bytes "$request" "$user_agent" $ssl_cipher $ssl_protocol $target_group_arn "$trace_id" "$domain_name" "$chosen_cert_arn" $matched_rule_priority $request_creation_time "$actions_executed" "$redirect_url" "$error_reason""#,
];

static TEXT: TextFormat = TextFormat::new("aws_alb", GATHERED, &LAYOUTS, meaning);

/// See the module.
pub(super) const FORMAT: AwsAlb = AwsAlb;

/// See the module.
pub(super) struct AwsAlb;

impl Format for AwsAlb {
    fn name(&self) -> &str {
        TEXT.name()
    }

    fn layout(&self) -> &str {
        TEXT.layout()
    }

    fn default_lateness(&self) -> Duration {
        TEXT.default_lateness()
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        TEXT.parse(line, row)?;
        row.duration_ms = duration_ms(line);
        Ok(())
    }
}

/// The three processing times together: from the request's arrival to the last byte's departure. -1: there was no answer.
fn duration_ms(line: &str) -> Option<f64> {
    let mut times = line.split(' ').skip(5).take(3);
    let seconds =
        times.try_fold(0.0, |sum, time| Some(time.parse::<f64>().ok()?).filter(|s| *s >= 0.0).map(|s| sum + s))?;
    Some((seconds * 1e6).round() / 1e3).filter(|ms| ms.is_finite())
}

fn meaning(name: &str) -> Meaning {
    use Field::{BytesIn, BytesOut, PeerPort, Request, RequestId, Status, Time, UserAgent};
    let (field, rank) = match name {
        "request_creation_time" => (Time, 0),
        "time" => (Time, 1),
        "client" => (PeerPort, 0),
        "elb_status_code" => (Status, 0),
        "received_bytes" => (BytesIn, 0),
        "sent_bytes" => (BytesOut, 0),
        "request" => (Request, 0),
        "user_agent" => (UserAgent, 0),
        "trace_id" => (RequestId, 0),
        _ => return Meaning::Extra,
    };
    Meaning::Is(field, rank)
}
