//! The story of 2018, told by running programs: a service that is registered on a pod's second plane. Two pods made by
//! ADD, real Envoys started as uid 1337 from the bootstraps that ADD wrote, rules in the pods, our control plane reading
//! Istio's own ServiceEntry files.
//!
//! Planes as in the source: 192.168.10.0/24, the pods' primary, and 10.75.8.0/24.

mod bounds;
mod containerd;
mod cured;
mod families;
mod isolation;
mod load;
mod loops;
mod moved;
