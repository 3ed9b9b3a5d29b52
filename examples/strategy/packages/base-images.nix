# The base images by digest: the one place to change when a base image is updated.
{
  # alpine:3.20
  alpine = "sha256:d9e853e87e55526f6b2917df91a2115c36dd7c696a35be12163d44e6e2a4b6bc";
  # gitea/gitea:1.25
  gitea = "sha256:fee0e5e55da6d2d11186bf39023a772fe63d9deffc0a83283e3d8e5d11c2716a";
  # nextcloud:29-apache
  nextcloud = "sha256:a7fbfcd4759bdd19b8fb8b1044b47ee3a9471d2e2c8bc68d56a2e671f86cebd2";
}
