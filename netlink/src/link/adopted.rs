//! Adopted planes: the interface is another plugin's, we find it and configure what concerns planes.

use planes::plan::PlannedAttachment;

use super::Created;
use crate::{Error, Net};

pub(super) async fn find(pod: &Net, plan: &PlannedAttachment) -> Result<Created, Error> {
    let link = pod.link_by_name(&plan.ifname).await?.ok_or_else(|| {
        Error::refused(
            format!("plane {}", plan.plane),
            format!(
                "there is no interface {:?} in the pod to adopt; let multiplane stand after the plugin that makes it",
                plan.ifname.as_str()
            ),
        )
    })?;
    Ok(Created::from_link(&link, None))
}
