//! A kernel without nf_tables, played by a system call filter on one thread that refuses netfilter's sockets as such a
//! kernel does.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

use iptables::{Policy, apply, check, foreign, remove, table};
use netlink::Netns;
use nix::libc;
use planes::Traffic;

mod pods;

/// Refuses `socket(_, _, NETLINK_NETFILTER)` with EPROTONOSUPPORT, for this thread and those that it starts.
fn lose_netfilter() {
    let code = |code: u32| u16::try_from(code).unwrap();
    let load = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
    let equal = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    let end = code(libc::BPF_RET | libc::BPF_K);
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPROTONOSUPPORT).unwrap();
    // struct seccomp_data: the number of the call, then from byte 16 on its arguments
    let mut program = [
        step(load, 0, 0, 0),
        step(equal, 0, 3, u32::try_from(libc::SYS_socket).unwrap()),
        step(load, 0, 0, 32),
        step(equal, 0, 1, u32::try_from(libc::NETLINK_NETFILTER).unwrap()),
        step(end, 0, 0, refusal),
        step(end, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program =
        libc::sock_fprog { len: u16::try_from(program.len()).unwrap(), filter: program.as_mut_ptr() };
    // SAFETY: prctl(2) takes plain numbers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the program outlives the call, which copies it.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

fn listed(netns: &Netns) -> String {
    let output = netns.run(|| Command::new("nft").args(["list", "ruleset"]).output().unwrap()).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_kernel_without_nf_tables_is_told_of_and_nothing_is_half_done() {
    let pod = Netns::anonymous().unwrap();
    let plane = pods::attachment("control", "ctl0", Traffic::Capture, &["10.75.8.2/24"]);
    let rules = table(&Policy::of(&pods::network(vec![plane], true, Traffic::Bypass)));

    std::thread::scope(|scope| {
        let there = scope.spawn(|| {
            lose_netfilter();
            for error in [apply(&pod, &rules), check(&pod, &rules).map(drop), remove(&pod, rules.name)] {
                let error = error.unwrap_err();
                assert!(error.is_unsupported(), "{error:?}");
                assert!(error.to_string().contains("this kernel lacks nf_tables"), "{error}");
            }
            assert_eq!(foreign(&pod).unwrap(), Vec::<String>::new());
        });
        there.join().unwrap();
    });

    assert_eq!(listed(&pod), "");
    // control: without the filter the same call sets them
    apply(&pod, &rules).unwrap();
    assert!(listed(&pod).contains("capture_in"));
}
