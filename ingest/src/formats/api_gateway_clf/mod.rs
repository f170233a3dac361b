//! `api_gateway_clf`: Amazon API Gateway, the CLF layout that its console offers. It names the template of the path, not the
//! path: what was asked for is not to be seen. `api_gateway_json` with `$context.path` is better.

use super::GATHERED;
use super::names;
use super::text::TextFormat;

const LAYOUTS: [&str; 1] = [
    r#"$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime]"$context.httpMethod $context.resourcePath $context.protocol" $context.status $context.responseLength $context.requestId"#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("api_gateway_clf", GATHERED, &LAYOUTS, names::meaning);
