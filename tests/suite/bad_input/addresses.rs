//! CIDRs, ranges, gateways, routes.

use serde_json::json;

use super::{Case, Scene, ipam, of_kind, plane};

#[test]
fn texts_that_are_no_addresses_are_code_7() {
    let cases: &[Case<'_>] = &[
        (plane(json!({"ipam": []})), ["planes[0].ipam", "[]", "object"]),
        (ipam(json!({})), ["planes[0].ipam.ranges", "missing", "10.75.8.0/24"]),
        (ipam(json!({"type": "../x"})), ["planes[0].ipam.type", "../x", ""]),
        (ipam(json!({"ranges": "10.60.0.0/24"})), ["planes[0].ipam.ranges", "10.60.0.0/24", "list"]),
        (ipam(json!({"ranges": [[]]})), ["planes[0].ipam.ranges[0]", "[]", "at least one range"]),
        (ipam(json!({"ranges": [[7]]})), ["planes[0].ipam.ranges[0][0]", "7", "object"]),
        (ipam(json!({"ranges": ["10.60.0.0"]})), ["planes[0].ipam.ranges[0]", "10.60.0.0", "its length"]),
        (ipam(json!({"ranges": ["10.60.0.0/33"]})), ["planes[0].ipam.ranges[0]", "10.60.0.0/33", ""]),
        (ipam(json!({"ranges": ["10.60.0.0/24 "]})), ["planes[0].ipam.ranges[0]", "10.60.0.0/24 ", ""]),
        (ipam(json!({"ranges": ["010.060.0.0/24"]})), ["planes[0].ipam.ranges[0]", "010.060.0.0/24", ""]),
        (ipam(json!({"ranges": ["fd00:::/64"]})), ["planes[0].ipam.ranges[0]", "fd00:::/64", ""]),
        (
            ipam(json!({"ranges": ["10.60.0.1/24"]})),
            ["planes[0].ipam.ranges[0]", "10.60.0.1/24", "10.60.0.0/24"],
        ),
        (ipam(json!({"ranges": [{"rangeStart": "10.0.0.1"}]})), ["subnet", "missing", "10.75.8.0/24"]),
        (
            ipam(json!({"ranges": ["10.60.0.0/24"], "scope": "cluster"})),
            ["planes[0].ipam.scope", "cluster", "node"],
        ),
        (ipam(json!({"ranges": ["10.60.0.0/24"], "exclude": ["x"]})), ["planes[0].ipam.exclude[0]", "x", ""]),
        (ipam(json!({"ranges": ["10.60.0.0/24"], "gateway": "x"})), ["planes[0].ipam.gateway", "x", ""]),
        (
            ipam(json!({"ranges": ["10.60.0.0/24"], "gateway": ["10.60.0.1", "10.60.0.2"]})),
            ["planes[0].ipam.gateway", "", "one gateway per family"],
        ),
        (
            ipam(json!({"addresses": ["10.60.0.9"]})),
            ["planes[0].ipam.addresses[0]", "10.60.0.9", "prefix length"],
        ),
        (
            ipam(json!({"addresses": [{"gateway": "10.60.0.1"}]})),
            ["planes[0].ipam.addresses[0].address", "missing", "prefix length"],
        ),
        (plane(json!({"addresses": ["10.0.0.1/8"]})), ["planes[0].addresses[0]", "10.0.0.1/8", "10.0.0.0/8"]),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn ranges_that_cannot_work_are_code_7() {
    let range = |range| ipam(json!({"ranges": [[range]]}));
    let cases: &[Case<'_>] = &[
        (ipam(json!({"ranges": ["10.60.0.0/31"]})), ["ranges[0]", "10.60.0.0/31", "at most /30"]),
        (ipam(json!({"ranges": ["fd60::/127"]})), ["ranges[0]", "fd60::/127", "at most /126"]),
        (
            ipam(json!({"ranges": [["10.60.0.0/24", "fd60::/64"]]})),
            ["planes[0].ipam.ranges[0]", "", "a set per family"],
        ),
        (
            ipam(json!({"ranges": [["10.60.0.0/24"], ["10.60.0.128/25"]]})),
            ["ranges[1][0]", "10.60.0.128/25", "overlaps planes[0].ipam.ranges[0][0]"],
        ),
        (
            range(json!({"subnet": "10.60.0.0/24", "rangeStart": "10.60.1.1"})),
            ["rangeStart", "10.60.1.1", "outside of 10.60.0.0/24"],
        ),
        (
            range(json!({"subnet": "10.60.0.0/24", "rangeEnd": "fd60::1"})),
            ["rangeEnd", "fd60::1", "outside of 10.60.0.0/24"],
        ),
        (
            range(json!({"subnet": "10.60.0.0/24", "rangeStart": "10.60.0.9", "rangeEnd": "10.60.0.8"})),
            ["rangeEnd", "10.60.0.8", "before rangeStart 10.60.0.9"],
        ),
        (
            range(json!({"subnet": "10.60.0.0/24", "gateway": "10.61.0.1"})),
            ["gateway", "10.61.0.1", "outside of 10.60.0.0/24"],
        ),
        (
            ipam(json!({"addresses": [{"address": "10.60.0.9/24", "gateway": "10.61.0.1"}]})),
            ["planes[0].ipam.addresses[0].gateway", "10.61.0.1", "outside"],
        ),
        (of_kind(json!({"kind": "ptp"})), ["gateway", "10.60.0.0/24", "ptp"]),
        (
            of_kind(json!({"kind": "macvlan", "master": "wire", "ipam": {"ranges": ["10.60.0.0/24"]}})),
            ["ipam", "nodeConfig", "\"scope\": \"node\""],
        ),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn routes_that_cannot_work_are_code_7() {
    let route = |route| plane(json!({"routes": [route]}));
    let cases: &[Case<'_>] = &[
        (plane(json!({"routes": {}})), ["planes[0].routes", "{}", "list"]),
        (route(json!({})), ["planes[0].routes[0].dst", "missing", "10.76.0.0/16"]),
        (route(json!({"dst": "10.0.0.1/8"})), ["planes[0].routes[0].dst", "10.0.0.1/8", "10.0.0.0/8"]),
        (route(json!({"dst": "0.0.0.0/0"})), ["planes[0].routes[0].dst", "0.0.0.0/0", "default-route"]),
        (route(json!({"dst": "::/0"})), ["planes[0].routes[0].dst", "::/0", "default-route"]),
        (
            route(json!({"dst": "10.0.0.0/8", "gw": "fd00::1"})),
            ["planes[0].routes[0].gw", "", "another family"],
        ),
        (route(json!({"dst": "10.0.0.0/8", "gw": "x"})), ["planes[0].routes[0].gw", "x", ""]),
        (
            route(json!({"dst": "10.0.0.0/8", "mtu": "big"})),
            ["planes[0].routes[0].mtu", "big", "whole number"],
        ),
        (route(json!({"dst": "10.0.0.0/8", "priority": -1})), ["routes[0].priority", "-1", "not negative"]),
    ];

    Scene::new().refuses_each(7, cases);
}
