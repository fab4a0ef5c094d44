//! The sans-I/O workflow core: definitions, the case machine and the execution state machine.
