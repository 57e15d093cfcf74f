//! Features of other crates: every selection of packages builds them with the same (ADR 0118). It has no code.
