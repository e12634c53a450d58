//! What the control plane asks of a place where services are declared. A directory is the first such place;
//! Kubernetes or Consul follow by implementing this one trait.

use std::fmt::Debug;

use super::object::Object;
use super::yaml::FieldError;

/// What one unit of a source (a file, an API object) holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Understood.
    Objects(Vec<Object>),
    /// Not understood: whatever it held before stays in force.
    Fault(FieldError),
    /// Gone, with all that it declared.
    Removed,
}

/// One unit that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The unit's name, for people: a path below the directory.
    pub unit: String,
    /// What it holds now.
    pub content: Content,
}

/// The source itself cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The directory cannot be listed or a file in it cannot be read.
    #[error("read registry {path}: check that it exists and may be read")]
    Read {
        /// The file or directory.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There are more files, or larger ones, than any registry has.
    #[error("read registry {path}: {problem}")]
    Limit {
        /// The file or directory.
        path: String,
        /// Which limit, and what to do.
        problem: String,
    },
    /// Changes cannot be watched.
    #[error("watch registry {path}: raise fs.inotify.max_user_watches, or check that it exists")]
    Watch {
        /// The directory.
        path: String,
        /// What the watcher said.
        #[source]
        source: notify::Error,
    },
}

/// A place where services are declared.
pub trait Source: Debug + Send {
    /// What changed since the last call; everything, on the first. Costs what changed.
    ///
    /// # Errors
    /// The source cannot be read at all; nothing changes then.
    fn changes(&mut self) -> Result<Vec<Change>, SourceError>;

    /// Calls `wake` whenever something may have changed, until the returned guard is dropped.
    ///
    /// # Errors
    /// The source cannot be watched.
    fn watch(&self, wake: Box<dyn Fn() + Send + Sync>) -> Result<Box<dyn Send>, SourceError>;
}
