"""Images and kernels. A handler is the function that has its route's name."""

from banger.api.catalog import CatalogList
from banger.api.daemon import Empty
from banger.api.image import CacheUse, Image, ImageList, ImportImage, PullImage, RegisterImage
from banger.api.kernel import ImportKernel, KernelInfo, KernelList, PullKernel
from banger.api.operation import Operation
from banger.api.recipe import BuildImage
from banger.daemon.call import Call


async def catalog(call: Call[None]) -> CatalogList:
    found = call.services.images.catalog()
    return CatalogList(entries=[*found.entries, *call.services.kernels.catalog()], faults=found.faults)


async def image_list(call: Call[None]) -> ImageList:
    return ImageList(images=call.services.images.list())


async def image_show(call: Call[None]) -> Image:
    return call.services.images.show(call.ref)


async def image_pull(call: Call[PullImage]) -> Operation:
    return await call.services.images.pull(call.body)


async def image_import(call: Call[ImportImage]) -> Operation:
    return await call.services.images.import_archive(call.body)


async def image_build(call: Call[BuildImage]) -> Operation:
    return await call.services.builds.build(call.body)


async def image_register(call: Call[RegisterImage]) -> Operation:
    return await call.services.images.register(call.body)


async def image_promote(call: Call[Empty]) -> Operation:
    return await call.services.images.promote(call.ref)


async def image_delete(call: Call[Empty]) -> Operation:
    return await call.services.images.delete(call.ref)


async def image_cache(call: Call[None]) -> CacheUse:
    return call.services.images.cache()


async def image_cache_prune(call: Call[Empty]) -> Operation:
    return await call.services.images.prune_cache()


async def kernel_list(call: Call[None]) -> KernelList:
    return KernelList(kernels=call.services.kernels.list())


async def kernel_show(call: Call[None]) -> KernelInfo:
    return call.services.kernels.show(call.ref)


async def kernel_pull(call: Call[PullKernel]) -> Operation:
    return await call.services.kernels.pull(call.body)


async def kernel_import(call: Call[ImportKernel]) -> Operation:
    return await call.services.kernels.import_directory(call.body)


async def kernel_delete(call: Call[Empty]) -> Operation:
    return await call.services.kernels.delete(call.ref)
