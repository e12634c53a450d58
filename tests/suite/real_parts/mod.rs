//! With real peers: containerd, Multus, cnitool, the reference plugins, Envoy.

mod kernel;
mod peers;
