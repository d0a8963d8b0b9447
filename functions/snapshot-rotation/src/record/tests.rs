//! What is read, against a scripted AWS and against the sandbox.

mod bucket;
mod reference_system;
mod scripted;
