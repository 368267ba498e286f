"""What changes that make images take of the host, in the words of `banger.admission`."""

import os

from banger.admission.judgement import Wish
from banger.images.making import STAGING, Wanted
from banger.paths import Paths


def wish(wanted: Wanted, subject: str, paths: Paths, machine: Wish | None) -> Wish | None:
    """What the making of an image takes; None where nothing is made.

    Of a bundle as much as comes is certain to be written. How much else takes is not known before it is read; what is
    downloaded is judged when its manifest tells (`banger.oci.meter`).
    """
    if wanted.present or wanted.joined:
        return None
    certain = wanted.bundle.size if wanted.bundle is not None else 0
    place = os.path.join(paths.staging, STAGING + wanted.id)
    return (machine or Wish(subject))._replace(subject=subject, disk=certain, place=place, reserved=True)
