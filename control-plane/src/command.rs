//! The command line: `control-plane serve`, `explain`, `completion`.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use planes::ProxyNode;
use planes::proxy_node::NodeError;
use serde_json::{Map, json};
use tokio::net::{TcpListener, TcpSocket};

use crate::explain;
use crate::matching::Match;
use crate::registry::directory::Directory;
use crate::registry::source::{Source, SourceError};
use crate::registry::{Catalogue, Registry};
use crate::server::{ServeError, Server};
use crate::settings::{AccessLog, Inbound, Layout, Outbound, Settings, Timing};

const EXAMPLES: &str = "Examples:
  control-plane serve --registry /etc/multiplane/registry --listen 127.0.0.1:15010
  control-plane serve --registry services --listen [::]:15010 --admin 127.0.0.1:15014
  control-plane explain --registry services --addresses 192.168.10.5,10.75.8.5 --namespace shop

Exit codes: 0 done, 1 failed while running, 2 wrong usage, 3 registry cannot be read, 4 address cannot be used.
explain: 0 at least one service is matched, 5 none is, 6 the registry has faults.";

/// Serves Envoy what it needs to know about services on several network planes.
#[derive(Debug, Parser)]
#[command(name = "control-plane", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve delta xDS to proxies.
    Serve(Serve),
    /// Say which services a proxy with these addresses serves, and why; no server needed.
    Explain(Explain),
    /// Print a shell's completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// Directory of ServiceEntry and WorkloadEntry YAML files, read recursively and followed.
    #[arg(long, value_name = "DIR")]
    registry: PathBuf,
    /// Where proxies connect (plaintext gRPC).
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where /ready, /metrics and /debug are served; loopback only.
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<SocketAddr>,
    /// Layout of listeners.
    #[arg(long, value_enum, default_value_t)]
    layout: Layout,
    /// Where inbound requests end.
    #[arg(long, value_enum, default_value_t)]
    inbound: Inbound,
    /// What calls of unknown destinations meet.
    #[arg(long, value_enum, default_value_t)]
    outbound: Outbound,
    /// Whether proxies log requests to their standard output.
    #[arg(long, value_enum, default_value_t)]
    access_log: AccessLog,
    /// Which addresses of a proxy are matched; "first" reproduces the bug of 2018.
    #[arg(long = "match", value_enum, default_value_t)]
    which: Match,
}

/// How `explain` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// Lines for people.
    #[default]
    Text,
    /// For tools.
    Json,
}

#[derive(Debug, Args)]
struct Explain {
    /// Directory of ServiceEntry and WorkloadEntry YAML files.
    #[arg(long, value_name = "DIR")]
    registry: PathBuf,
    /// The proxy's addresses, first the primary one.
    #[arg(long, value_name = "IP,IP", value_delimiter = ',', required = true)]
    addresses: Vec<IpAddr>,
    /// The proxy's namespace.
    #[arg(long, value_name = "NS")]
    namespace: String,
    /// Which of the addresses are matched.
    #[arg(long = "match", value_enum, default_value_t)]
    which: Match,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Why the command failed; each has an exit code that does not change.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The registry cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The server cannot start or go on.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The addresses identify no proxy.
    #[error("--addresses: {0}")]
    Node(#[from] NodeError),
    /// A system call failed.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl CommandError {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Source(_) | Self::Serve(ServeError::Source(_)) => 3,
            Self::Serve(ServeError::Listen { .. } | ServeError::AdminExposed(_)) => 4,
            Self::Node(_) => 2,
            Self::Serve(ServeError::Transport(_)) | Self::System { .. } => 1,
        }
    }
}

/// Runs the command; the result is its exit code.
///
/// # Errors
/// See [`CommandError`].
pub fn run(arguments: Arguments, out: &mut impl Write) -> Result<u8, CommandError> {
    match arguments.verb {
        Verb::Serve(serve) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|source| CommandError::System { what: "start the runtime", source })?;
            runtime.block_on(self::serve(serve))
        }
        Verb::Explain(explain) => self::explain(&explain, out),
        Verb::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "control-plane", out);
            Ok(0)
        }
    }
}

async fn serve(arguments: Serve) -> Result<u8, CommandError> {
    if let Some(admin) = arguments.admin.filter(|admin| !admin.ip().is_loopback()) {
        return Err(ServeError::AdminExposed(admin).into());
    }
    let settings = Settings {
        layout: arguments.layout,
        inbound: arguments.inbound,
        outbound: arguments.outbound,
        access_log: arguments.access_log,
        which: arguments.which,
    };
    let listener = open(arguments.listen)?;
    let admin = arguments.admin.map(open).transpose()?;
    let source = Box::new(Directory::new(&arguments.registry));
    let mut server = Server::start(source, settings, Timing::default(), listener, admin)?;
    tracing::info!(xds = %server.address, admin = ?server.admin, "serving");
    tokio::select! {
        ended = server.ended() => ended?,
        stop = signal() => {
            stop?;
            server.stop().await?;
        }
    }
    Ok(0)
}

/// Connections that may wait to be taken: after a restart all proxies come at once, and Linux resets those beyond
/// (listen(2); the kernel's own limit is `net.core.somaxconn`).
const BACKLOG: u32 = 4096;

fn open(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|source| ServeError::Listen { address, source })
}

/// SIGTERM or SIGINT.
async fn signal() -> Result<(), CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let watch = |kind| signal(kind).map_err(|source| CommandError::System { what: "watch signals", source });
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A registry read once; faults inside are in it.
fn read_registry(directory: &std::path::Path) -> Result<Registry, SourceError> {
    let mut catalogue = Catalogue::default();
    catalogue.apply(Directory::new(directory).changes()?);
    Ok(catalogue.build(&Registry::default()))
}

fn explain(arguments: &Explain, out: &mut impl Write) -> Result<u8, CommandError> {
    let addresses: Vec<String> = arguments.addresses.iter().map(ToString::to_string).collect();
    let metadata = Map::from_iter([
        ("INSTANCE_IPS".to_owned(), json!(addresses.join(","))),
        ("NAMESPACE".to_owned(), json!(arguments.namespace)),
    ]);
    let id = format!("sidecar~~explain.{0}~{0}.svc.cluster.local", arguments.namespace);
    let node = ProxyNode::parse(&id, &metadata)?;
    let registry = read_registry(&arguments.registry)?;
    let text = match arguments.output {
        Output::Text => text(&registry, &node, arguments.which),
        Output::Json => {
            let value = json!({
                "proxy": explain::node(&node),
                "services": explain::verdicts(&registry, &node, arguments.which),
                "faults": explain::faults(&registry),
            });
            format!("{value:#}\n")
        }
    };
    out.write_all(text.as_bytes()).map_err(|source| CommandError::System { what: "print", source })?;
    let matched = crate::matching::explain_all(&registry, &node, arguments.which)
        .any(|(_, verdict)| verdict.is_matched());
    Ok(match (registry.faults.is_empty(), matched) {
        (false, _) => 6,
        (true, true) => 0,
        (true, false) => 5,
    })
}

fn text(registry: &Registry, node: &ProxyNode, which: Match) -> String {
    let mut text = explain::text(registry, node, which);
    let faults: BTreeSet<String> = registry.faults.iter().map(ToString::to_string).collect();
    for fault in faults {
        text.push_str(&format!("fault: {fault}\n"));
    }
    text
}
