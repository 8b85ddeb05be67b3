"""Servers for the tests of the dashboard, as the integration tests have them."""

from tests.integration.conftest import control, model_clients_end_with_the_test, serve, settings

__all__ = ["control", "model_clients_end_with_the_test", "serve", "settings"]
