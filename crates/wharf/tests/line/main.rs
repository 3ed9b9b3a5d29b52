//! The whole line from a definition to a running container, on real input and under bad weather.

mod bad_input;
mod chunked;
mod docker_tools;
mod handed_over;
mod killed;
mod kinds;
mod logs;
mod nix_cache;
mod place;
mod platforms;
mod pushed;
mod reproducible;
mod served;
mod strategy;
mod transports;
mod without_store;
