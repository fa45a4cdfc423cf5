# SPDX-License-Identifier: Apache-2.0
#
# The image of the service: a static binary and dnsmasq, which it runs per app network. It runs as three processes, of
# which the one that guests talk to has a user of its own and no privilege.

FROM --platform=$BUILDPLATFORM golang:1.26-alpine AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
COPY pkg/eve-api/go/go.mod pkg/eve-api/go/go.sum pkg/eve-api/go/
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/eve-metadata ./cmd/eve-metadata

FROM alpine:3.22
RUN apk add --no-cache dnsmasq tini && rm -rf /etc/dnsmasq.conf /etc/dnsmasq.d && \
    addgroup -S eve-metadata && adduser -S -D -H -s /sbin/nologin -G eve-metadata -g "EVE metadata server" eve-metadata
COPY --from=build /out/eve-metadata /usr/bin/eve-metadata
# A dnsmasq outlives the process that started it; where there is no other init, tini is its parent then.
ENTRYPOINT ["/sbin/tini", "-s", "--", "/usr/bin/eve-metadata"]
CMD ["run", "--split", "--user", "eve-metadata"]
