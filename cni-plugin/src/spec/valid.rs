//! GC's list of attachments that are still valid (CNI SPEC 1.1.0, "GC").

use planes::{ContainerId, IfName};
use serde_json::{Map, Value};

use super::prev::kind;

const KEY: &str = "cni.dev/valid-attachments";
/// The text of the specification's tag v1.1.0; libcni sends both, an early one only [`KEY`].
const OLD_KEY: &str = "cni.dev/attachments";

/// The list cannot be relied upon, so nothing may be destroyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidError {
    /// No list at all, as `cnitool gc` sends none: that is not an empty list.
    #[error(
        "{KEY} is missing: nothing is removed without it; list the valid attachments, [] if there are none"
    )]
    Absent,
    /// Something in the list is no attachment.
    #[error("{KEY}: expected a list of {{containerID, ifname}}, found {found}: nothing is removed")]
    Malformed {
        /// What was found.
        found: String,
    },
}

/// The attachments that a GC must leave alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidAttachments(Vec<(ContainerId, IfName)>);

impl ValidAttachments {
    /// Reads the list. `null` is what a Go runtime writes for no attachments.
    ///
    /// # Errors
    /// No list, or one with an entry that is no attachment: a list that is half understood destroys the other half.
    pub fn parse(conf: &Map<String, Value>) -> Result<Self, ValidError> {
        let list = match conf.get(KEY).or_else(|| conf.get(OLD_KEY)) {
            None => return Err(ValidError::Absent),
            Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(ValidError::Malformed { found: kind(other).to_owned() }),
        };
        list.iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the list names this attachment.
    #[must_use]
    pub fn contains(&self, container: &ContainerId, ifname: &IfName) -> bool {
        self.0.iter().any(|(c, i)| c == container && i == ifname)
    }
}

fn entry(value: &Value) -> Result<(ContainerId, IfName), ValidError> {
    let malformed = || ValidError::Malformed { found: value.to_string().chars().take(64).collect() };
    let text = |key| value.get(key).and_then(Value::as_str).ok_or_else(malformed);
    let container = text("containerID")?.parse().map_err(|_| malformed())?;
    let ifname = text("ifname")?.parse().map_err(|_| malformed())?;
    Ok((container, ifname))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<ValidAttachments, ValidError> {
        let Value::Object(conf) = value else { panic!("an object") };
        ValidAttachments::parse(&conf)
    }

    #[test]
    fn a_list_names_what_stays() {
        let valid = parse(json!({KEY: [{"containerID": "c1", "ifname": "eth0"}]})).unwrap();

        assert!(valid.contains(&"c1".parse().unwrap(), &"eth0".parse().unwrap()));
        assert!(!valid.contains(&"c1".parse().unwrap(), &"eth1".parse().unwrap()));
    }

    #[test]
    fn null_and_an_empty_list_mean_none() {
        assert_eq!(parse(json!({KEY: null})), Ok(ValidAttachments::default()));
        assert_eq!(parse(json!({KEY: []})), Ok(ValidAttachments::default()));
    }

    #[test]
    fn an_absent_list_is_not_an_empty_one() {
        assert_eq!(parse(json!({})), Err(ValidError::Absent));
    }

    #[test]
    fn the_old_key_counts_when_it_is_alone() {
        let one = json!([{"containerID": "c1", "ifname": "eth0"}]);

        assert_eq!(parse(json!({OLD_KEY: one})).unwrap().0.len(), 1);
        assert_eq!(parse(json!({OLD_KEY: one, KEY: []})).unwrap().0.len(), 0);
    }

    #[test]
    fn a_list_that_is_half_understood_is_refused() {
        for bad in [
            json!({}),
            json!("c1"),
            json!([{"containerID": "c1"}]),
            json!([{"containerID": "c1", "ifname": "eth0"}, 7]),
            json!([{"containerID": "../c1", "ifname": "eth0"}]),
        ] {
            assert!(matches!(parse(json!({KEY: bad})), Err(ValidError::Malformed { .. })), "{bad}");
        }
    }
}
