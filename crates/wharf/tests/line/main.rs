//! The whole line from a definition to a running container, on real input and under bad weather.

mod killed;
mod reproducible;
mod strategy;
