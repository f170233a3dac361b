//! Standard Webhooks: the three headers by which a receiver knows who sent a message, and that it was not changed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// The value of `webhook-signature`: `v1,` and base64 of HMAC-SHA256 over `{id}.{seconds}.{body}`, once a secret.
/// `seconds`: the wall clock since 1970, the value of `webhook-timestamp`. `None` without secrets.
pub(crate) fn sign(secrets: &[Secret], id: &str, seconds: i64, body: &str) -> Option<String> {
    let signatures: Vec<String> = secrets
        .iter()
        .filter_map(|secret| {
            // An HMAC takes keys of any length: this never fails.
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.key()).ok()?;
            mac.update(format!("{id}.{seconds}.{body}").as_bytes());
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        })
        .collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_oracle_signs_the_same(keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 24..=64), 1..4), seconds in 0..4_000_000_000_i64, body: String) {
            let texts: Vec<_> = keys.iter().map(|k| format!("whsec_{}", STANDARD.encode(k))).collect();
            let secrets = Secret::parse_all(&texts.join("\n")).unwrap();
            let expected: Vec<_> = texts
                .iter()
                .map(|t| standardwebhooks::Webhook::new(t).unwrap().sign("msg_1", seconds, body.as_bytes()).unwrap())
                .collect();
            prop_assert_eq!(sign(&secrets, "msg_1", seconds, &body), Some(expected.join(" ")));
        }
    }

    #[test]
    fn no_secret_no_signature() {
        assert_eq!(sign(&[], "msg_1", 0, ""), None);
    }
}
