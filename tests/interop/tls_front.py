"""tls_front.py LISTEN PLAIN PKI: TLS on one port of the loopback interface in front of a server on another that has none."""

import asyncio
import ssl
import sys


async def main(listen, plain, pki):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pki}/server.pem", f"{pki}/server.key")

    async def handle(reader, writer):
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", int(plain))
        await asyncio.gather(pump(reader, behind_writer), pump(behind_reader, writer))

    server = await asyncio.start_server(handle, "127.0.0.1", int(listen), ssl=context)
    async with server:
        await server.serve_forever()


async def pump(reader, writer):
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
