//! Rules as `nft` reads and lists them, for people.

use std::fmt::{self, Display, Write};

use netlink::Family;
use planes::IfName;

use crate::rules::{Action, Chain, Hook, Kind, Match, Reach, Rule, Table};

impl Table {
    /// The table as a script for `nft -f`: replaces an earlier one in one transaction.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("table inet {0}\ndelete table inet {0}\ntable inet {0} {{\n", self.name);
        for chain in &self.chains {
            // Writing to a String does not fail.
            let _ = write_chain(&mut text, chain);
        }
        text.push_str("}\n");
        text
    }
}

fn write_chain(text: &mut String, chain: &Chain) -> fmt::Result {
    let Chain { name, kind, hook, priority, rules } = chain;
    writeln!(text, "\tchain {name} {{\n\t\ttype {kind} hook {hook} priority {priority}; policy accept;")?;
    for rule in rules {
        writeln!(text, "\t\t{rule}")?;
    }
    writeln!(text, "\t}}")
}

impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.matches {
            write!(f, "{one} ")?;
        }
        write!(f, "{} comment \"{}\"", self.action, self.why)
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(name) => write!(f, "iifname {}", Quoted(name)),
            Self::NotIn(name) => write!(f, "iifname != {}", Quoted(name)),
            Self::Out(name) => write!(f, "oifname {}", Quoted(name)),
            Self::NotOut(name) => write!(f, "oifname != {}", Quoted(name)),
            Self::From(subnet) => write!(f, "{} saddr {subnet}", protocol(subnet.is_ipv4())),
            Self::NotFrom(subnet) => write!(f, "{} saddr != {subnet}", protocol(subnet.is_ipv4())),
            Self::To(subnet) => write!(f, "{} daddr {subnet}", protocol(subnet.is_ipv4())),
            Self::Family(Family::V4) => f.write_str("meta nfproto ipv4"),
            Self::Family(Family::V6) => f.write_str("meta nfproto ipv6"),
            Self::User(uid) => write!(f, "meta skuid {uid}"),
            Self::Group(gid) => write!(f, "meta skgid {gid}"),
            Self::Ports(range) => write!(f, "tcp dport {range}"),
            Self::Opens => f.write_str("tcp flags & (fin | syn | rst | ack) == syn"),
            Self::Reaches(reach) => write!(f, "fib daddr . iif type {reach}"),
            Self::MoreThan(count) => write!(f, "ct count over {count}"),
        }
    }
}

/// An interface name in quotes. The kernel's names may hold almost anything, and a pod chooses some of them; `nft` has no
/// escapes, and takes a final `*` for a pattern. What is not plain is shown as `?`: this text is for people, the kernel gets
/// the name's bytes.
struct Quoted<'a>(&'a IfName);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| if c.is_alphanumeric() || "._-@+=~^".contains(c) { c } else { '?' };
        let name: String = self.0.as_str().chars().map(plain).collect();
        write!(f, "\"{name}\"")
    }
}

fn protocol(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "ip" } else { "ip6" }
}

impl Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Notrack => f.write_str("notrack"),
            Self::Redirect(port) => write!(f, "redirect to :{port}"),
            Self::Dnat(address, port) if address.is_ipv4() => write!(f, "dnat ip to {address}:{port}"),
            Self::Dnat(address, port) => write!(f, "dnat ip6 to [{address}]:{port}"),
            Self::Reset => f.write_str("reject with tcp reset"),
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        })
    }
}

impl Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Output => "output",
        })
    }
}

impl Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
        })
    }
}

#[cfg(test)]
mod tests {
    use planes::Traffic;
    use proptest::prelude::*;

    use crate::policy::Policy;
    use crate::{sample, table};

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

    /// `UPDATE_GOLDEN=1` rewrites the file.
    fn golden(name: &str, policy: &Policy) {
        let path = format!("{GOLDEN}/{name}.nft");
        let text = table(policy).to_text();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(GOLDEN).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{path}");
    }

    #[test]
    fn a_pod_with_a_plane_of_each_fate() {
        golden("each-fate", &sample::policy());
    }

    #[test]
    fn a_pod_without_a_proxy_has_isolation_alone() {
        golden("no-proxy", &Policy { proxy: None, ..sample::policy() });
    }

    #[test]
    fn a_plane_that_is_captured_by_direction_and_port() {
        golden("directions", &sample::by_direction());
    }

    #[test]
    fn strangers_follow_the_undeclared_setting() {
        golden("undeclared-capture", &Policy { undeclared: Traffic::Capture, ..sample::policy() });
        golden("undeclared-deny", &Policy { undeclared: Traffic::Deny, ..sample::policy() });
    }

    proptest! {
        #[test]
        fn no_interface_name_ever_becomes_a_rule(name in "[^/:\\s\\x00]{1,15}") {
            prop_assume!(name.len() <= 15 && name.parse::<planes::IfName>().is_ok());
            let count = |text: &str| (text.lines().count(), text.matches('"').count(), text.matches(';').count());
            let plain = count(&table(&sample::policy()).to_text());
            let mut policy = sample::policy();

            policy.planes[0].ifname = name.parse().unwrap();

            prop_assert_eq!(count(&table(&policy).to_text()), plain);
        }
    }
}
