//! The configuration as far as it can be read, for DEL and GC: they clean up after a configuration of another day, and a
//! key that ADD would refuse must not keep anything alive.

use serde_json::{Map, Value};

use super::NetConf;
use crate::fields::{ConfError, cut};

/// More repairs than any configuration of good will needs; a parse costs microseconds.
const MAX_REPAIRS: usize = 256;

impl NetConf {
    /// What is left when everything that cannot be read is taken away: a plane as a whole, any other key alone.
    /// `None` if not even the network has a name.
    #[must_use]
    pub fn parse_lenient(conf: &Map<String, Value>) -> Option<Self> {
        let mut rest = conf.clone();
        for _ in 0..MAX_REPAIRS {
            match Self::parse(&rest) {
                Ok(parsed) => return Some(parsed),
                Err(error) => take_away(&mut rest, &error)?,
            }
        }
        None
    }
}

/// Takes away what `error` names; `None` if there is nothing of that name.
fn take_away(conf: &mut Map<String, Value>, error: &ConfError) -> Option<()> {
    // an unknown key may look like a path
    let whole = conf.keys().find(|known| cut(known) == error.field).cloned();
    let (root, number) = root(&error.field);
    let of_root = || conf.keys().filter(|known| known.eq_ignore_ascii_case(root));
    // an exact key is what the parser read
    let key = whole.or_else(|| of_root().min_by_key(|known| known.as_str() != root).cloned())?;
    match (conf.get_mut(&key), number) {
        (Some(Value::Array(list)), Some(number)) if number < list.len() => drop(list.remove(number)),
        (Some(_), _) => drop(conf.remove(&key)),
        (None, _) => return None,
    }
    Some(())
}

/// `planes[1].ipam.ranges[0]` is item 1 of `planes`.
fn root(field: &str) -> (&str, Option<usize>) {
    let end = field.find(['.', '[']).unwrap_or(field.len());
    let number = field[end..].strip_prefix('[').and_then(|rest| rest.split(']').next()?.parse().ok());
    (&field[..end], number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn lenient(conf: &Value) -> Option<NetConf> {
        NetConf::parse_lenient(conf.as_object().unwrap())
    }

    #[test]
    fn what_can_be_read_is_kept() {
        let conf = lenient(&json!({
            "name": "n", "deadline": "soon", "stateDirectory": "x", "unknown.key[7]": 1, "Strict": 7, "proxy": [],
            "planes": [{"name": "a", "kind": "bridge", "oops": 1}, 7, {"name": "b", "kind": "ptp"}, {"kind": "ptp"}],
            "default": ["a", "b"], "always": ["b", "b"], "primary": "a"
        }))
        .unwrap();

        assert_eq!(conf.planes.iter().map(|plane| plane.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(conf.always, ["b".parse().unwrap()]);
        assert_eq!((conf.default.len(), conf.primary), (0, None));
    }

    #[test]
    fn without_a_name_there_is_nothing_to_clean_up() {
        assert_eq!(lenient(&json!({"planes": []})), None);
        assert_eq!(lenient(&json!({"name": "../x"})), None);
    }

    proptest! {
        #[test]
        fn any_keys_are_answered_without_panic(keys in prop::collection::vec("[a-zA-Z.\\[\\]0-9é]{0,90}", 0..8)) {
            let mut conf: Map<String, Value> = keys.into_iter().map(|key| (key, json!([1]))).collect();
            conf.insert("name".into(), json!("n"));
            prop_assert!(NetConf::parse_lenient(&conf).is_some());
        }
    }
}
