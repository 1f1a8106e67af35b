from . import images


class Decoder:
    def fit(self, path, *, side, patch, whole, stretch=False):
        return (*images.fit(images.read_image(path), side=side, patch=patch, whole=whole), "")

    def preview(self, path, longest):
        p = images.read_image(path)
        p.thumbnail((longest, longest))
        return p
