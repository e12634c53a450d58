//! ADD, DEL, CHECK, GC and STATUS over an attachment's life, through the built plugin.

mod del;
mod delegates;
mod drift;
mod gc;
mod repeat;
mod stage;
mod status;
mod undo;
