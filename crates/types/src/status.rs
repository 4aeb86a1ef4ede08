//! States of jobs and endpoints, with the transitions AWS allows. A transition not listed here is
//! refused, so a record can never claim a history that did not happen.

use serde::{Deserialize, Serialize};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The state's name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// The state of that name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|state| state.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(self.as_str())
            }
        }
    };
}

states! {
    /// Status of a job of any kind.
    JobStatus {
        /// Accepted and not yet over.
        InProgress,
        /// The work was done and the artifact is stored.
        Completed,
        /// The work ended with an error.
        Failed,
        /// A stop was asked for and is being carried out.
        Stopping,
        /// Stopped by request or by a time limit.
        Stopped,
    }
}

states! {
    /// What a training job is doing within its status.
    SecondaryStatus {
        /// Waiting for its turn and being prepared.
        Starting,
        /// Input data is being laid out.
        Downloading,
        /// The algorithm runs.
        Training,
        /// The artifact is being stored.
        Uploading,
        /// Being stopped.
        Stopping,
        /// Stopped.
        Stopped,
        /// Stopped because it ran longer than its limit.
        MaxRuntimeExceeded,
        /// Stopped because it waited and ran longer than a spot training job may.
        MaxWaitTimeExceeded,
        /// Done.
        Completed,
        /// Ended with an error.
        Failed,
    }
}

states! {
    /// Status of an endpoint.
    EndpointStatus {
        /// Model servers are being started for the first time.
        Creating,
        /// Answering requests.
        InService,
        /// New model servers are replacing the old ones.
        Updating,
        /// Being taken down.
        Deleting,
        /// Could not be created.
        Failed,
    }
}

impl JobStatus {
    /// Is this the last state?
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }

    /// May the job go from this state to `next`?
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::InProgress => !matches!(next, Self::InProgress),
            // A job that ends by itself while it is being stopped keeps what it achieved.
            Self::Stopping => matches!(next, Self::Stopped | Self::Failed | Self::Completed),
            Self::Completed | Self::Failed | Self::Stopped => false,
        }
    }
}

impl EndpointStatus {
    /// May the endpoint go from this state to `next`?
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Creating => matches!(next, Self::InService | Self::Failed | Self::Deleting),
            Self::InService => matches!(next, Self::Updating | Self::Deleting | Self::Failed),
            Self::Updating => matches!(next, Self::InService | Self::Failed | Self::Deleting),
            Self::Failed => matches!(next, Self::Deleting),
            Self::Deleting => false,
        }
    }
}

impl SecondaryStatus {
    /// The message AWS shows beside a transition.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Starting => "Preparing the instances for training",
            Self::Downloading => "Downloading input data",
            Self::Training => "Training image download completed. Training in progress.",
            Self::Uploading => "Uploading generated training model",
            Self::Stopping => "Stopping the training job",
            Self::Stopped => "Training job stopped",
            Self::MaxRuntimeExceeded => "Training job runtime exceeded MaxRuntimeInSeconds",
            Self::MaxWaitTimeExceeded => {
                "Training job waiting and running time exceeded MaxWaitTimeInSeconds"
            }
            Self::Completed => "Training job completed",
            Self::Failed => "Training job failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_terminal_state() {
        for from in JobStatus::ALL {
            for to in JobStatus::ALL {
                if from.is_terminal() {
                    assert!(!from.may_become(*to), "{from} -> {to}");
                }
            }
        }
        assert!(!JobStatus::Failed.may_become(JobStatus::Completed));
        assert!(!EndpointStatus::Deleting.may_become(EndpointStatus::InService));
    }

    #[test]
    fn names_round_trip() {
        for state in SecondaryStatus::ALL {
            assert_eq!(SecondaryStatus::parse(state.as_str()), Some(*state));
        }
        assert_eq!(JobStatus::parse("Paused"), None);
    }
}
