//! Which variant and which of its servers a request goes to.

use std::net::SocketAddr;

use http::{HeaderValue, StatusCode};
use rand::Rng;
use rand::seq::IndexedRandom;
use sagebrush_types::{EndpointRoute, VariantRoute};
use sagebrush_wire::ErrorShape;

/// The variant named in the header, or one drawn by weight.
pub fn variant<'a>(
    route: &'a EndpointRoute,
    target: Option<&HeaderValue>,
) -> Result<&'a VariantRoute, ErrorShape> {
    if let Some(target) = target {
        let name = String::from_utf8_lossy(target.as_bytes());
        return route.variants.iter().find(|variant| variant.name == name).ok_or_else(|| {
            ErrorShape::new(
                "ValidationError",
                StatusCode::BAD_REQUEST,
                format!(
                    "Variant {name} was not found in the endpoint. Check the TargetVariant of the request."
                ),
            )
        });
    }
    let total: f64 = route.variants.iter().map(|variant| variant.weight).sum();
    let mut draw = if total > 0.0 { rand::rng().random_range(0.0..total) } else { 0.0 };
    let weighted = route.variants.iter().filter(|variant| variant.weight > 0.0);
    let mut last = None;
    for variant in weighted {
        last = Some(variant);
        if draw < variant.weight {
            break;
        }
        draw -= variant.weight;
    }
    last.ok_or_else(|| {
        ErrorShape::new(
            "ServiceUnavailable",
            StatusCode::SERVICE_UNAVAILABLE,
            "The endpoint has no variant to serve.",
        )
    })
}

/// One of a variant's servers.
pub fn server(variant: &VariantRoute) -> Option<SocketAddr> {
    variant.servers.choose(&mut rand::rng()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(weights: &[(&str, f64)]) -> EndpointRoute {
        let variants = weights
            .iter()
            .map(|(name, weight)| VariantRoute { name: (*name).into(), weight: *weight, servers: vec![] })
            .collect();
        EndpointRoute { variants }
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
}
