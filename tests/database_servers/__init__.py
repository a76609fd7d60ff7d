"""Database servers for tests, on loopback with TLS: real ones where there are any, and servers that keep Oracle's
and MySQL's documented rules where there are none. Each is reached by the real driver.
"""
