# The image of dicelab: one static program on an empty file system, for every
# service of compose.yaml.
#
# BUILDER is the image that compiles: any that has Go, certificates and a shell
# with the usual tools. What was compiled is kept between builds; that takes
# BuildKit, which Compose always has.
ARG BUILDER=golang:1.26.8

FROM ${BUILDER} AS build
WORKDIR /src
# Where a module proxy or a certificate of one's own is needed, it is passed as
# an argument, and stays in this stage.
ARG GOPROXY
ENV GOMODCACHE=/cache/mod GOCACHE=/cache/build CGO_ENABLED=0
COPY . .
ARG VERSION
RUN --mount=type=cache,target=/cache \
    mkdir -p /image/usr/local/bin /image/usr/share/licenses/dicelab /image/etc/ssl/certs /logs/dicelab \
 && go build -trimpath -buildvcs=false -ldflags "-s -w -X main.release=${VERSION}" -o /image/usr/local/bin/dicelab ./cmd/dicelab \
 && cp LICENSE /image/usr/share/licenses/dicelab/ \
 && go run ./internal/licences > /image/usr/share/licenses/dicelab/THIRD-PARTY \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/
# The same source makes the same layer, whenever it is built.
RUN cd /image && touch -d @0 usr/local/bin/dicelab etc/ssl/certs/ca-certificates.crt usr/local/bin usr/local \
    usr/share/licenses/dicelab/LICENSE usr/share/licenses/dicelab/THIRD-PARTY usr/share/licenses/dicelab usr/share/licenses usr/share usr \
    etc/ssl/certs etc/ssl etc

FROM scratch
COPY --from=build /image/ /
# The place of the log files, for a volume that takes over the owner.
COPY --from=build --chown=65532:65532 /logs/ /var/log/
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="dicelab" \
      org.opencontainers.image.description="A distributed-tracing lab: roll a die through two services and follow the roll." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8000 8100 8501
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/dicelab"]
CMD ["help"]
