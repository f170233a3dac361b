//! From findings to alerts to signed webhooks.
//!
//! A rule's row for one window is a [`Finding`], early while the window is open and final once it is closed. Findings of one rule about one entity share a [`fingerprint`];
//! those that are close in event time form an *episode*, and an episode is what a person sees: an [`Alert`], which
//! fires, is updated, and is resolved. The tour, in the order in which data flows:
//!
//! 1. [`lifecycle`]: findings to alerts, a pure function of event time. `scan` uses it as it is.
//! 2. [`store`]: one `SQLite` file, and immutable files for large checkpoint rows. One transaction holds the engine's checkpoint,
//!    the open alerts and the rows of the outbox, so that after a kill at any instant the same alerts have the same ids.
//! 3. [`outbox`]: the rows still to be sent and those that could not be; the sender's own connection to that file.
//! 4. [`destination`]: where to send, validated: https, secrets from files, addresses that are never called.
//! 5. [`destinations`]: one file a payload style, each a pure function from an alert to a request.
//! 6. [`retry`]: what a reply means, and when to try again.
//! 7. [`deliver`]: the sender: takes what is due, signs it, posts it, records what came of it.
//!
//! Deliberately absent: Arrow, the SQL engine, rules, and any clock except the one that is handed to the sender.

mod address;
pub mod alert;
mod breaker;
mod checkpoint;
mod checksum;
pub mod deliver;
pub mod desk;
pub mod destination;
pub mod destinations;
mod error;
mod failpoint;
pub mod figures;
pub mod finding;
mod flight;
mod grouping;
mod incident;
pub mod json;
mod lane;
mod ledger;
pub mod lifecycle;
mod lock;
pub mod outbox;
pub mod retry;
pub mod routing;
mod schema;
mod secret;
mod segments;
mod signature;
pub mod silence;
pub mod store;
mod time;
mod transport;
mod trim;
mod writing;

pub use address::Network;
pub use alert::{Alert, Ended, Status};
pub use checkpoint::{Checkpoint, CheckpointRow, Delete, LostRow, Put};
pub use deliver::{Outcome, Sender, Timeouts, Waker};
pub use destination::{Destination, DestinationError, Settings, Style};
pub use error::StoreError;
pub use finding::{Evidence, Finding, Handling, Mode, Phase, Severity, Window, fingerprint};
pub use grouping::{GroupBy, Grouping};
pub use lifecycle::{Change, Lifecycle};
pub use outbox::{Entry, Outbox};
pub use routing::Route;
pub use secret::Secret;
pub use silence::{Silence, SilenceError};
pub use store::{Commit, Store};
