mkdir -p "$HOME/.local/bin"
curl --fail --silent --show-error --location --retry 3 --output "$HOME/.local/bin/wharf" "$WHARF_URL"
echo "$WHARF_SHA256  $HOME/.local/bin/wharf" | sha256sum --check --quiet -
chmod +x "$HOME/.local/bin/wharf"
