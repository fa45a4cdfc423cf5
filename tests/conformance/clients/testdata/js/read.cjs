// SPDX-License-Identifier: Apache-2.0

// Reads metadata with the AWS SDK for JavaScript and prints it as a JSON object. "strict" as the argument
// forbids it to do without tokens.

const { MetadataService } = require("@aws-sdk/ec2-metadata-service");

async function main() {
  const service = new MetadataService({
    ec2MetadataV1Disabled: process.argv[2] === "strict",
    httpOptions: { timeout: 5000 },
    retries: 0,
  });
  const get = (path) => service.request(path, {});
  return {
    id: await get("/latest/meta-data/instance-id"),
    hostname: await get("/latest/meta-data/local-hostname"),
    document: JSON.parse(await get("/latest/dynamic/instance-identity/document")),
  };
}

main().then(
  (found) => console.log(JSON.stringify(found)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
