//! The scene of the story of 2018, for the suite and for `make demo`: two pods made by ADD, real Envoys started from the
//! bootstraps that ADD wrote, our control plane reading Istio's own ServiceEntry files.

pub mod outcome;
pub mod scene;
pub mod year_2018;
