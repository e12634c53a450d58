//! A directory of Istio's YAML as a source, as istiod reads it with `--configDir`: recursive, `.yaml` and `.yml`,
//! several documents in a file. Names that start with a dot are skipped, which makes mounted ConfigMaps work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use notify::{RecursiveMode, Watcher};

use super::object::parse_file;
use super::source::{Change, Content, Source, SourceError};
use super::yaml::FieldError;

const MAX_FILES: usize = 100_000;
const MAX_DEPTH: usize = 16;
const MAX_BYTES: u64 = 64 << 20;

/// What tells that a file changed without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// A directory of YAML files.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    seen: BTreeMap<String, Stamp>,
}

impl Directory {
    /// A source that has read nothing yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), seen: BTreeMap::new() }
    }

    fn list(&self) -> Result<BTreeMap<String, (PathBuf, Stamp)>, SourceError> {
        let mut files = BTreeMap::new();
        let mut open = vec![(self.root.clone(), 0)];
        while let Some((directory, depth)) = open.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                // A directory may go while we walk; the root may not.
                Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => continue,
                Err(error) => return Err(read_error(&directory, error)),
            };
            for entry in entries {
                let path = entry.map_err(|error| read_error(&directory, error))?.path();
                let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                let Some(metadata) = fs::metadata(&path).ok().filter(|_| !hidden) else { continue };
                if metadata.is_dir() && depth < MAX_DEPTH {
                    open.push((path, depth + 1));
                } else if metadata.is_file() && is_yaml(&path) {
                    files.insert(self.unit(&path), (path, stamp(&metadata)));
                }
            }
            if files.len() > MAX_FILES {
                let problem = format!("more than {MAX_FILES} files: give it a directory of its own");
                return Err(SourceError::Limit { path: self.root.display().to_string(), problem });
            }
        }
        Ok(files)
    }

    fn unit(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

impl Source for Directory {
    fn changes(&mut self) -> Result<Vec<Change>, SourceError> {
        let files = self.list()?;
        let gone: BTreeSet<String> =
            self.seen.keys().filter(|unit| !files.contains_key(*unit)).cloned().collect();
        let mut changes = Vec::new();
        for unit in gone {
            self.seen.remove(&unit);
            changes.push(Change { unit, content: Content::Removed });
        }
        for (unit, (path, stamp)) in files {
            if self.seen.get(&unit) == Some(&stamp) {
                continue;
            }
            let content = read(&path, stamp.length);
            self.seen.insert(unit.clone(), stamp);
            changes.push(Change { unit, content });
        }
        Ok(changes)
    }

    fn watch(&self, wake: Box<dyn Fn() + Send + Sync>) -> Result<Box<dyn Send>, SourceError> {
        let error = |source| SourceError::Watch { path: self.root.display().to_string(), source };
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and we read files because of events.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                wake();
            }
        })
        .map_err(error)?;
        watcher.watch(&self.root, RecursiveMode::Recursive).map_err(error)?;
        Ok(Box::new(watcher))
    }
}

fn read(path: &Path, length: u64) -> Content {
    let fault = |problem: String, cure: &str| {
        Content::Fault(FieldError { line: 0, field: "file".to_owned(), problem, cure: cure.to_owned() })
    };
    if length > MAX_BYTES {
        return fault(format!("{length} bytes"), "split it into files below 64 MiB");
    }
    match fs::read_to_string(path) {
        Ok(text) => match parse_file(&text) {
            Ok(objects) => Content::Objects(objects),
            Err(error) => Content::Fault(error),
        },
        Err(error) => fault(error.to_string(), "make it a readable UTF-8 file"),
    }
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn read_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read { path: path.display().to_string(), source }
}
