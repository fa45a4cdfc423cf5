# SPDX-License-Identifier: Apache-2.0
#
# The image of the service: a static binary and dnsmasq, which it runs per app network.

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
RUN apk add --no-cache dnsmasq && rm -rf /etc/dnsmasq.conf /etc/dnsmasq.d
COPY --from=build /out/eve-metadata /usr/bin/eve-metadata
ENTRYPOINT ["/usr/bin/eve-metadata"]
CMD ["run"]
