vcl 4.1;
# Varnish's own rules; only the origin is named.
backend default { .host = "127.0.0.1"; .port = "@ORIGIN_PORT@"; }
