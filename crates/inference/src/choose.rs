//! Which variant and which of its servers a request goes to.

use http::{HeaderValue, StatusCode};
use rand::Rng;
use sagebrush_types::limits::INVOCATIONS_IN_FLIGHT;
use sagebrush_types::{EndpointRoute, InFlight, ServerRoute, VariantRoute};
use sagebrush_wire::ErrorShape;

/// The variant named in the header, or one drawn by weight. While an update shifts traffic, a name
/// stands in the route twice, and its old and new servers are drawn by weight too.
pub fn variant<'a>(
    route: &'a EndpointRoute,
    target: Option<&HeaderValue>,
) -> Result<&'a VariantRoute, ErrorShape> {
    let Some(target) = target else {
        return draw(route.variants.iter()).ok_or_else(|| {
            ErrorShape::new(
                "ServiceUnavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The endpoint has no variant to serve.",
            )
        });
    };
    let named = || route.variants.iter().filter(|variant| variant.name.as_bytes() == target.as_bytes());
    // A variant whose weight is 0 takes the requests that name it.
    draw(named()).or_else(|| named().next()).ok_or_else(|| {
        ErrorShape::new(
            "ValidationError",
            StatusCode::BAD_REQUEST,
            format!(
                "Variant {} was not found in the endpoint. Check the TargetVariant of the request.",
                String::from_utf8_lossy(target.as_bytes())
            ),
        )
    })
}

fn draw<'a>(variants: impl Iterator<Item = &'a VariantRoute> + Clone) -> Option<&'a VariantRoute> {
    let total: f64 = variants.clone().map(|variant| variant.weight).sum();
    let mut draw = if total > 0.0 { rand::rng().random_range(0.0..total) } else { 0.0 };
    let mut last = None;
    for variant in variants.filter(|variant| variant.weight > 0.0) {
        last = Some(variant);
        if draw < variant.weight {
            break;
        }
        draw -= variant.weight;
    }
    last
}

/// Why a request has no server.
#[derive(Debug, PartialEq, Eq)]
pub enum NoServer {
    /// None is up, or none that was not tried.
    Down,
    /// Every one has as many requests in flight as it may.
    Full,
}

/// One of a variant's servers with a place for the request: the one with fewer requests in flight of
/// two drawn at random ("the power of two choices", Mitzenmacher 2001), or, when that one is full,
/// the one with the fewest.
pub fn server<'a>(
    variant: &'a VariantRoute,
    tried: &[ServerRoute],
) -> Result<(&'a ServerRoute, InFlight), NoServer> {
    let fresh = |server: &&ServerRoute| !tried.iter().any(|tried| tried.address == server.address);
    let servers: Vec<&ServerRoute> = variant.servers.iter().filter(fresh).collect();
    let load = |server: &&&ServerRoute| server.lease.in_flight();
    let drawn = match servers.len() {
        0 => return Err(NoServer::Down),
        1 => servers[0],
        count => {
            let mut draw = rand::rng();
            let first = draw.random_range(0..count);
            let second = (first + draw.random_range(1..count)) % count;
            [servers[first], servers[second]].iter().min_by_key(load).copied().ok_or(NoServer::Down)?
        }
    };
    if let Some(place) = drawn.lease.enter(INVOCATIONS_IN_FLIGHT) {
        return Ok((drawn, place));
    }
    let emptiest = servers.iter().min_by_key(load).copied().ok_or(NoServer::Down)?;
    let place = emptiest.lease.enter(INVOCATIONS_IN_FLIGHT).ok_or(NoServer::Full)?;
    Ok((emptiest, place))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sagebrush_types::Backend;

    use super::*;

    fn route(weights: &[(&str, f64)]) -> EndpointRoute {
        let variants = weights
            .iter()
            .map(|(name, weight)| VariantRoute {
                name: (*name).into(),
                weight: *weight,
                backend: Backend::Model,
                servers: vec![],
            })
            .collect();
        EndpointRoute { variants, capture: None, asynchronous: false }
    }

    #[test]
    fn traffic_is_split_by_weight() {
        let route = route(&[("a", 9.0), ("b", 1.0), ("c", 0.0)]);
        let mut counts = [0u32; 3];
        for _ in 0..20_000 {
            let Ok(variant) = variant(&route, None) else { panic!("no variant") };
            counts[usize::from(variant.name.as_bytes()[0] - b'a')] += 1;
        }
        // Ten standard deviations of a binomial draw around 2,000.
        assert!((1_576..2_424).contains(&counts[1]), "{counts:?}");
        assert_eq!(counts[2], 0);
    }

    #[test]
    fn a_target_is_honoured_or_refused() {
        let route = route(&[("a", 1.0), ("b", 0.0)]);
        let header = HeaderValue::from_static("b");
        assert_eq!(variant(&route, Some(&header)).map(|variant| variant.name.clone()), Ok("b".into()));
        let header = HeaderValue::from_static("x");
        assert!(variant(&route, Some(&header)).is_err());
    }

    fn variant_of(servers: u16) -> VariantRoute {
        let server = |port| ServerRoute { address: ([127, 0, 0, 1], port).into(), lease: Arc::default() };
        VariantRoute {
            name: "v".into(),
            weight: 1.0,
            backend: Backend::Model,
            servers: (1..=servers).map(server).collect(),
        }
    }

    #[test]
    fn requests_in_flight_spread_over_all_servers() {
        let variant = variant_of(4);
        let held: Vec<_> = (0..40).filter_map(|_| server(&variant, &[]).ok()).collect();
        assert_eq!(held.len(), 40);
        let counts: Vec<usize> = variant.servers.iter().map(|server| server.lease.in_flight()).collect();
        // Of two drawn the less loaded one is taken, so nobody is far from the mean of ten.
        assert!(counts.iter().all(|count| (6..=14).contains(count)), "{counts:?}");
    }

    #[test]
    fn every_place_is_used_before_a_request_is_turned_away() {
        let variant = variant_of(3);
        let held: Vec<_> =
            (0..3 * INVOCATIONS_IN_FLIGHT).filter_map(|_| server(&variant, &[]).ok()).collect();
        assert_eq!(held.len(), 3 * INVOCATIONS_IN_FLIGHT);
        assert_eq!(server(&variant, &[]).err(), Some(NoServer::Full));
    }

    #[test]
    fn a_server_that_was_tried_is_not_tried_again() {
        let variant = variant_of(2);
        let tried = [variant.servers[0].clone()];
        for _ in 0..10 {
            assert_eq!(server(&variant, &tried).map(|(server, _)| server.address.port()).ok(), Some(2));
        }
        assert_eq!(server(&variant, &variant.servers).err(), Some(NoServer::Down));
    }
}
