//! What is read, against a scripted AWS and against the sandbox.

mod reference_system;
