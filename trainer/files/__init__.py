"""Files: whole files by rename, images, npz, and the cache of prepared sets."""
