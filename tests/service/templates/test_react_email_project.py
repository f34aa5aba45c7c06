"""A project of React Email's as people have it, copied into the source folder without an edit."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mailboat.domain.message import Rendered
from mailboat.registry.folder import Folder
from mailboat.render import base, react_v8
from mailboat.render.base import Job, Outcome
from mailboat.render.pools import Pools

Volume = Callable[[dict[str, str | bytes]], Folder]

PNG = b"\x89PNG\r\n\x1a\n\0\0"
MAIL = """import { Body, Html, Text } from '@react-email/components';
import type { Config } from 'tailwindcss';
import { Footer } from '%s_components';
export default function Mail({ code }: { code?: string }) {
  return <Html><Body><Text>{code}</Text><Footer /></Body></Html>;
}
Mail.PreviewProps = { code: 'DJZ-TLX' };
"""
PROJECT: dict[str, str | bytes] = {
    "package.json": '{"scripts": {"dev": "email dev"}, "dependencies": {"react-email": "6"}}',
    "tsconfig.json": """{
  // as a generator writes it
  "compilerOptions": {"jsx": "react-jsx", "baseUrl": ".", "paths": {"@/*": ["./src/*"], "~lib": ["src/lib/index.ts"],}},
}""",
    "README.md": "# Mails",
    ".env": "SECRET=1",
    "tailwind.config.js": "module.exports = {};",
    "postcss.config.js": "export default {};",
    "app/page.tsx": "export default function Page() { return <main />; }",
    "components/index.tsx": "export default function Part() { return <b />; }",
    ".react-email/page.tsx": "export default () => <p />;",
    "node_modules/some/emails/mail.tsx": "export default () => <p />;",
    "src/ui/index.ts": "export { Button } from './button';\nexport * from './header';",
    "src/ui/button.tsx": """import { Button as Plain } from '@react-email/components';
import { cx } from '~lib';
export const Button = (props: { href: string; children: React.ReactNode }) => (
  <Plain {...props} className={cx('rounded', 'bg-blue-600')} />
);""",
    "src/ui/header.tsx": "import * as React from 'react';\nexport const Header = ({ text }) => <h1>{text}</h1>;",
    "src/lib/index.ts": "export const cx = (...names: string[]) => names.filter(Boolean).join(' ');",
    "emails/static/logo.png": PNG,
    "emails/static/odd.tsx": "export default () => <p />;",
    "emails/logo.png": PNG,
    "emails/styles.css": "p {}",
    "emails/notes.md": "export default",
    "emails/.hidden.tsx": "export default () => <p />;",
    "emails/tailwind.config.js": "module.exports = {};",
    "emails/theme.ts": "export default {};",
    "emails/_components/index.ts": "export { default as Footer } from './footer';",
    "emails/_components/footer.tsx": "export default function Footer() { return <p>Bye</p>; }",
    "emails/components/card.tsx": "export default function Card({ item }) { return <b>{item.title.length}</b>; }",
    "emails/welcome.tsx": """
import { Body, Container, Head, Html, Img, Preview, Tailwind } from '@react-email/components';
import * as React from 'react';
import { Button, Header } from '@/ui';
import Card from './components/card';
import { Footer } from './_components';

const baseUrl = process.env.VERCEL_URL ? `https://${process.env.VERCEL_URL}` : '';

interface WelcomeProps {
  name?: string;
  url?: string;
}

export const Welcome = ({ name, url = 'https://example.com' }: WelcomeProps) => (
  <Html><Tailwind><Head /><Body><Preview>Hello</Preview><Container className="p-4">
    <Img src={`${baseUrl}/static/logo.png`} alt="Logo" />
    <Header text={`Hello ${name}`} /><Card item={{ title: 'x' }} /><Button href={url}>Start</Button><Footer />
  </Container></Body></Tailwind></Html>
);

Welcome.PreviewProps = { name: 'Ada' } as WelcomeProps;

export default Welcome;
""",
    "emails/magic-links/slack-confirm.tsx": MAIL % "../",
    "emails/newsletters/2026/january.tsx": MAIL % "../../",
    "emails/de/hello.tsx": MAIL % "../",
    "emails/en/hello.tsx": MAIL % "../",
    "emails/onboarding/index.tsx": MAIL % "../",
    "emails/plain.jsx": "export default function Plain() { return <p>Plain</p>; }",
    "emails/older.js": """import { Html, Text } from '@react-email/components';
export default function Older() { return <Html><Text>Older</Text></Html>; }""",
}
NAMES = ["de.hello", "en.hello", "january", "older", "onboarding", "plain", "slack-confirm", "welcome"]


@pytest.fixture
def project(volume: Volume) -> Folder:
    return volume(PROJECT)


def examples(folder: Folder) -> dict[str, Outcome]:
    """What each template gives with its example."""

    async def render() -> dict[str, Outcome]:
        pools = Pools(1)
        try:
            loaded = {name: folder.load(name, strict=True) for name in folder.names()}
            jobs = {name: Job(each[0], base.example(each[0].sources)) for name, each in loaded.items() if each}
            return dict(zip(jobs, await pools.render(list(jobs.values())), strict=True))
        finally:
            await pools.close()

    if not react_v8.is_built():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("the React engine is not built: make engine")
    return asyncio.run(render())


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "mailboat", "template", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_what_react_email_takes_for_a_mail_is_a_template_and_nothing_else(project: Folder) -> None:
    assert project.names() == NAMES


def test_every_mail_of_it_renders(project: Folder) -> None:
    outcomes = examples(project)
    assert [name for name, outcome in outcomes.items() if not isinstance(outcome, Rendered)] == []
    welcome, hello = outcomes["welcome"], outcomes["de.hello"]
    assert isinstance(welcome, Rendered)
    assert isinstance(hello, Rendered)
    assert "Hello Ada" in (welcome.text or "")
    assert "Start (https://example.com)" in (welcome.text or "")
    assert (hello.text or "").split() == ["DJZ-TLX", "Bye"]


def test_a_mail_has_its_short_name_as_long_as_it_is_the_only_one(project: Folder, volume: Volume) -> None:
    assert project.entry("hello") is None
    assert project.entry("magic-links.slack-confirm") == project.entry("slack-confirm")
    volume({"emails/de/slack-confirm.tsx": MAIL % "../"})
    assert project.entry("slack-confirm") is None
    assert {"de.slack-confirm", "magic-links.slack-confirm"} < set(project.names())
    (project.root / "emails/de/slack-confirm.tsx").unlink()
    assert project.entry("slack-confirm") == project.root / "emails/magic-links/slack-confirm.tsx"


def test_the_folder_of_mails_may_be_the_source_folder_and_the_project_a_folder_in_it(project: Folder) -> None:
    assert Folder(project.root / "emails").names() == NAMES
    assert Folder(project.root.parent).names() == NAMES


def test_outside_of_emails_a_mail_says_that_it_is_one(volume: Volume) -> None:
    part = "export default function Part() { return <p />; }"
    folder = volume({"mails/a.tsx": f"{part}\nPart.PreviewProps = {{}};", "mails/b.tsx": part, "mails/c.tsx":
                     f"export const subject = 'Hi';\n{part}"})  # fmt: skip
    assert folder.names() == ["a", "c"]


def test_a_file_whose_name_no_template_may_have_gets_one(volume: Volume) -> None:
    mail = "export default () => <p />;"
    folder = volume({"emails/Welcome mail.tsx": mail, "emails/(auth)/reset.tsx": mail, "emails/a b/reset.tsx": mail,
                     "Odd one.tsx": mail})  # fmt: skip
    assert folder.names() == ["Welcome-mail", "a-b.reset", "auth.reset"]
    assert all(folder.load(name) for name in folder.names())


def test_a_change_of_the_projects_own_names_is_another_revision(project: Folder, volume: Volume) -> None:
    before = project.load("welcome")
    volume({"tsconfig.json": str(PROJECT["tsconfig.json"]).replace("./src", "./other"), "other/ui.tsx":
            "export const Button = () => <i>other</i>;\nexport const Header = Button;"})  # fmt: skip
    after = project.load("welcome")
    assert before is not None
    assert after is not None
    assert before[0].digest != after[0].digest
    assert project.root / "tsconfig.json" in after[1]
    assert isinstance(outcome := examples(project)["welcome"], Rendered)
    assert "<i>other</i>" in (outcome.html or "")


def test_a_path_is_checked_and_rendered_with_all_that_its_project_holds(project: Folder) -> None:
    checked = run(project.root.parent, "check", "volume/emails")
    assert checked.stdout.splitlines() == [f"{name}: ok" for name in NAMES], checked.stderr
    assert "welcome: warning: The address of an image is relative, '/static/logo.png'" in checked.stderr
    assert run(project.root, "check", "emails/magic-links").stdout == "slack-confirm: ok\n"
    rendered = run(project.root / "emails", "render", "welcome.tsx", "--format", "json", "--data", '{"name": "Bob"}')
    assert "Hello Bob" in json.loads(rendered.stdout)["text"]
    assert run(project.root, "list", "--source", ".").stdout.split() == NAMES


def test_a_folder_that_a_link_leads_to_may_be_swapped(volume: Volume, tmp_path: Path) -> None:
    """As tools do that bring a source folder up to date at one blow."""
    volume({"one/mail.tsx": "export default () => <p>1</p>;", "two/mail.tsx": "export default () => <p>2</p>;"})
    current = tmp_path / "current"
    current.symlink_to(tmp_path / "volume/one")
    folder = Folder(current)
    before = folder.load("mail")
    current.unlink()
    current.symlink_to(tmp_path / "volume/two")
    after = folder.load("mail")
    assert before is not None
    assert after is not None
    assert before[0].digest != after[0].digest
