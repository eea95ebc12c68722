"""A mail server for one test: aiosmtpd with rules in the addresses. Prints its port, then one JSON line a mail it took."""

import argparse
import asyncio
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


class Rules:
    def __init__(self):
        self.asked = {}

    async def handle_RCPT(self, server, talk, envelope, address, options):
        self.asked[address] = self.asked.get(address, 0) + 1
        if address.startswith("gone"):
            return "550 5.1.1 no such user"
        if address.startswith("busy") and self.asked[address] == 1:
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, talk, envelope):
        told = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": talk.auth_data.decode() if talk.auth_data else None,
            "text": envelope.content.decode("utf-8"),
        }
        print(json.dumps(told), flush=True)
        return "250 2.0.0 kept"


def authenticator(login):
    def check(server, talk, envelope, mechanism, data):
        user, password = data.login.decode(), data.password.decode()
        return AuthResult(success=f"{user}:{password}" == login, auth_data=data.login, handled=False)

    return check


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("security", choices=["none", "starttls", "tls"])
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--login")
    options = parser.parse_args()
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    starttls = context if options.security == "starttls" else None
    rules = Rules()

    def talk():
        return SMTP(
            rules,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=authenticator(options.login) if options.login else None,
            auth_required=options.login is not None,
            auth_require_tls=options.security == "starttls",
            enable_SMTPUTF8=True,
        )

    wrapper = context if options.security == "tls" else None
    server = await asyncio.get_running_loop().create_server(talk, "127.0.0.1", 0, ssl=wrapper)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
