//! The control plane's view of the server's own registry: how an engine pulls an image that is kept there.

use std::pin::Pin;

use sagebrush_api_server::registry::RegistryFrontDoor;
use sagebrush_control_plane::ImageRegistry;
use sagebrush_registry::Error;
use sagebrush_runner::Pull;

/// The registry behind this server's port.
pub struct OwnRegistry {
    /// Its front door.
    pub door: RegistryFrontDoor,
    /// Region of images that are named by the server's address, which says none.
    pub region: String,
}

impl ImageRegistry for OwnRegistry {
    fn pull<'a>(
        &'a self,
        image: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Pull>, String>> + Send + 'a>> {
        Box::pin(async move {
            match self.door.source_of(image, &self.region).await {
                Ok(source) => Ok(source.map(|source| Pull {
                    reference: source.reference,
                    credentials: Some((source.user.to_owned(), source.password)),
                })),
                // The engine may have it under this name without a push.
                Err(Error::NoSuchRepository(_)) => Ok(None),
                Err(error) => Err(format!("The image '{image}' cannot be had: {error}.")),
            }
        })
    }
}
