//! A hundred pods at once.

use std::sync::Barrier;
use std::time::Instant;

use crate::measure::{Cost, mebibytes, median, milliseconds, namespace};
use crate::ours;
use crate::table::Table;

const PODS: usize = 100;
const PLANES: usize = 4;

/// All ADDs start together, then all DELs.
pub(crate) fn section() -> Result<Table, String> {
    let node = namespace()?;
    let state = ours::state()?;
    let conf = ours::network(PLANES, state.path());
    let pods = (0..PODS).map(|_| namespace()).collect::<Result<Vec<_>, _>>()?;
    let mut table = Table::new(
        "100 pods × 4 planes, started at once",
        &["verb", "pods per second", "median of one", "peak RSS of one process"],
    );
    for verb in ["ADD", "DEL"] {
        let barrier = Barrier::new(PODS + 1);
        let (costs, seconds) = std::thread::scope(|scope| {
            let threads: Vec<_> = pods
                .iter()
                .enumerate()
                .map(|(index, pod)| {
                    let (barrier, node, conf) = (&barrier, &node, &conf);
                    scope.spawn(move || {
                        barrier.wait();
                        ours::call(verb, node, pod, &format!("c{index}"), conf)
                    })
                })
                .collect();
            barrier.wait();
            let begin = Instant::now();
            let costs = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread died".into())));
            let costs = costs.collect::<Result<Vec<Cost>, String>>();
            (costs, begin.elapsed().as_secs_f64())
        });
        let cost = median(&costs?);
        let rate = f64::from(u32::try_from(PODS).unwrap_or(u32::MAX)) / seconds;
        table.row([verb.to_owned(), format!("{rate:.0}"), milliseconds(cost), mebibytes(cost)]);
    }
    Ok(table)
}
