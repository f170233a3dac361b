//! A format to hold on to: one of those that are built in, or one that was made of the config or of a file's heading.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::Format;

/// A format. Clones share it.
#[derive(Clone)]
pub enum AnyFormat {
    /// Built in.
    Built(&'static dyn Format),
    /// Made at run time.
    Made(Arc<dyn Format>),
}

impl Deref for AnyFormat {
    type Target = dyn Format;

    #[inline]
    fn deref(&self) -> &Self::Target {
        match self {
            Self::Built(format) => *format,
            Self::Made(format) => format.as_ref(),
        }
    }
}

impl fmt::Debug for AnyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
