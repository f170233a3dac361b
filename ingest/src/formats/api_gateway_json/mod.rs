//! `api_gateway_json`: Amazon API Gateway in JSON, keys named after the variables as its console offers. Without `path`,
//! which must be added, the path is its template, `/pets/{petId}`, and no object is to be seen.

use super::GATHERED;
use super::field::Decode;
use super::json::JsonFormat;
use super::names;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "api_gateway_json",
    layout: r#"{"requestId": .., "ip": .., "caller": .., "user": .., "requestTime": .., "httpMethod": .., "path": .., "resourcePath": .., "status": .., "protocol": .., "responseLength": ..}"#,
    lateness: GATHERED,
    meaning: names::api_gateway,
    decode: Decode::None,
};
