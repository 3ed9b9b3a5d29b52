//! The distribution specification, request by request, and what real clients do, against a registry on loopback.

mod accounts;
mod crash;
mod lists;
mod manifests;
mod peers;
mod serving;
mod uploads;
mod webhooks;
