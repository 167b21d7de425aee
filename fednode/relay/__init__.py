"""The relay: brings what participants signed to the chain, many of them in one transaction.

It is trusted with nothing but its promptness. It cannot act in anybody's name, since every leaf and
every vote carries its owner's signature; what it delays or drops its owner sees and sends itself.
"""
