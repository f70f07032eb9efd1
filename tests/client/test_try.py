from tests.client.support import bench, no_credentials, noise, adler32
async def test_it(bench):
    c = bench.client
    data = noise(5_000_000)
    p = bench.local("a", data)
    print(await c.put(p, "/vo/a", se="disk1"))
    print(await c.put(p, "/vo/b", se="disk1", direct=False))
    print(await c.put(p, "/vo/b", se="disk1", direct=False))
    print(await c.put(p, "/vo/b", se="disk2", direct=False))
    print(await c.resolve(["/vo/a", "/vo/b", "/vo/no"]))
    print(await c.get("/vo/a", str(bench.here / "out")))
    print(await c.get("/vo/a", str(bench.here / "out2"), direct=False))
    assert (bench.here/"out2").read_bytes() == data == (bench.here/"out").read_bytes()
    print(await c.get("/vo/a", str(bench.here / "out2"), direct=False))
    print([e async for e in c.list("/vo")])
    print(await c.usage(["/"]))
    print(await c.elements.list())
    print((await c.elements.types())[0])
