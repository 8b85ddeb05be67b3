"""The part without input and output, which both clients share: what to send, what a reply means, what to do next."""
