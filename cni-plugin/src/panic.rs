//! A defect of ours must still answer in CNI's words: an empty stdout tells a runtime nothing.

use std::io::Write;
use std::panic::PanicHookInfo;

use serde_json::json;

use crate::spec::Version;
use crate::spec::error::INTERNAL;

/// Makes a panic on any thread print an error object and end the process. Nothing is undone: the state that
/// broke an invariant cannot be trusted for that, and the DEL that a runtime sends after a failed ADD cleans
/// up from the saved plan, as after a kill.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let object = object(info);
        let _ = writeln!(std::io::stderr(), "{info}");
        let _ = writeln!(std::io::stdout(), "{object}");
        std::process::exit(1);
    }));
}

fn object(info: &PanicHookInfo<'_>) -> serde_json::Value {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let payload = info.payload();
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let text = owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    json!({
        "cniVersion": Version::NEWEST.as_str(),
        "code": INTERNAL,
        "msg": format!("defect in multiplane at {place}: please report it"),
        "details": text.replace('\n', " "),
    })
}
