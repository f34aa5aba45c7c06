"""What `mailboat template new` writes: a small, whole mail in either engine, that renders as it is.

`Title` stands for the template's name as words, `Component` for it as an identifier.
"""

from __future__ import annotations

import re
from typing import NamedTuple

JINJA = """\
---
subject: "Title for {{ name }}"
schema:
  type: object
  required: [name, url]
  properties:
    name: {type: string, description: Whom it is for}
    url: {type: string, description: Where the button leads}
example:
  name: Ada
  url: https://example.com/start
---
<!DOCTYPE html>
<html lang="{{ locale or 'en' }}">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Title</title>
</head>
<body class="m-0 bg-gray-100 font-sans">
  <div style="display:none;overflow:hidden;line-height:1px;opacity:0;max-height:0;max-width:0">
    What the inbox shows beside the subject
  </div>
  <table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" class="px-3 py-8">
    <table role="presentation" width="100%" class="max-w-[560px] rounded-lg bg-white"><tr><td class="p-8">
      <h1 class="m-0 text-2xl font-bold text-gray-900">Hello {{ name }}</h1>
      <p class="my-4 text-base text-gray-600">Write the mail here, save it, and the preview follows.</p>
      <a href="{{ url }}" class="inline-block rounded-md bg-blue-600 px-6 py-3 font-semibold text-white no-underline">
        Start
      </a>
    </td></tr></table>
  </td></tr></table>
</body>
</html>
"""

REACT = """\
import { Body, Button, Container, Head, Heading, Html, pixelBasedPreset, Preview, Tailwind, Text } from 'react-email';

interface ComponentProps {
  name: string;
  url: string;
}

export const subject = ({ name }: ComponentProps) => `Title for ${name}`;

export const schema = {
  type: 'object',
  required: ['name', 'url'],
  properties: {
    name: { type: 'string', description: 'Whom it is for' },
    url: { type: 'string', description: 'Where the button leads' },
  },
};

export default function Component({ name, url }: ComponentProps) {
  return (
    <Html lang="en">
      <Tailwind config={{ presets: [pixelBasedPreset] }}>
        <Head />
        <Preview>What the inbox shows beside the subject</Preview>
        <Body className="m-0 bg-gray-100 px-3 py-8 font-sans">
          <Container className="mx-auto max-w-[560px] rounded-lg bg-white p-8">
            <Heading as="h1" className="m-0 text-2xl font-bold text-gray-900">Hello {name}</Heading>
            <Text className="my-4 text-base text-gray-600">Write the mail here, save it, and the preview follows.</Text>
            <Button href={url} className="rounded-md bg-blue-600 px-6 py-3 font-semibold text-white">Start</Button>
          </Container>
        </Body>
      </Tailwind>
    </Html>
  );
}

Component.PreviewProps = { name: 'Ada', url: 'https://example.com/start' } satisfies ComponentProps;
"""

ENGINES = {"jinja": (JINJA, ".html.j2"), "react": (REACT, ".tsx")}


class Starter(NamedTuple):
    """A file to write."""

    file: str
    text: str


def starter(name: str, engine: str) -> Starter:
    """The file of a new template. `name` is a template's name, `engine` one of ENGINES."""
    source, suffix = ENGINES[engine]
    words = re.findall("[A-Za-z0-9]+", name)
    component = "".join(word[0].upper() + word[1:] for word in words)
    if not component[0].isalpha():
        component = f"Mail{component}"
    titled = source.replace("Title", " ".join(words).capitalize())
    return Starter(f"{name}{suffix}", titled.replace("Component", component))
