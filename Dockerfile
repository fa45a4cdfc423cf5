# SPDX-License-Identifier: Apache-2.0
#
# Two images of the service, of one static binary.
#
# The last one, which is built when no target is named, is for an EVE device: the binary and nothing else. The networks are
# EVE's there, and so are their DHCP servers. It runs as two processes, of which the one that guests talk to has no
# capability, and the files, system calls and ports that it needs alone.
#
# The target "standalone" has dnsmasq as well, which the service runs for each network that it makes itself.

FROM --platform=$BUILDPLATFORM golang:1.26-alpine AS build
ARG TARGETARCH
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
COPY pkg/eve-api/go/go.mod pkg/eve-api/go/go.sum pkg/eve-api/go/
RUN go mod download
COPY . .
RUN GOARCH=$TARGETARCH VERSION=$VERSION .ci/rootfs /image

FROM alpine:3.22 AS standalone
RUN apk add --no-cache dnsmasq tini && rm -rf /etc/dnsmasq.conf /etc/dnsmasq.d && \
    addgroup -S eve-metadata && adduser -S -D -H -s /sbin/nologin -G eve-metadata -g "EVE metadata server" eve-metadata
COPY --from=build /image /
# A dnsmasq outlives the process that started it; where there is no other init, tini is its parent then.
ENTRYPOINT ["/sbin/tini", "-s", "--", "/usr/bin/eve-metadata"]
CMD ["run", "--split", "--user", "eve-metadata"]

FROM scratch
COPY --from=build /image /
ENTRYPOINT ["/usr/bin/eve-metadata"]
CMD ["run", "--source", "eve", "--split"]
