"use client";
import { Body, Column, Container, Head, Html, Img, Link, Preview, Row, Section, Tailwind, Text, pixelBasedPreset } from 'react-email';
import { Fragment, useId, useMemo } from 'react';
import { cn, tv } from './components/utils';
const row = tv({ base: 'w-full table-fixed', variants: { size: { sm: 'p-1 text-xs', lg: 'p-4 text-lg' }, tone: { dark: 'bg-gray-900 text-white', light: 'bg-white text-black' } }, defaultVariants: { size: 'sm' } });
function Steps({ steps }: { steps: string[] }) {
  const numbered = useMemo(() => steps.map((s, i) => `${i + 1}. ${s}`), [steps]);
  return <ol className="list-decimal pl-6">{numbered.map((s) => <li key={s} className={cn('mb-2', s.length > 8 && 'font-bold', { italic: s.startsWith('1') })}>{s}</li>)}</ol>;
}
export default function StreamReset({ username = 'alan', updatedDate = new Date('2022-06-23T16:06:00Z'), steps = ['Open', 'Choose a new password'] }) {
  const id = 'x';
  return (
    <Html><Tailwind config={{ presets: [pixelBasedPreset], theme: { extend: { colors: { stream: '#6441a5' } } } }}><Head /><Body className={cn('bg-[#efeef1]', 'font-sans')}><Preview>You updated the password for your Stream account</Preview>
      <Container className="mx-auto my-[30px] max-w-[580px] bg-white"><Section className={row({ tone: 'dark' })}><Img width={114} src="/static/logo-stream.png" className="mx-auto" /></Section>
        <Section className={row({ tone: 'light', size: 'lg', class: 'border-t-2 border-solid border-stream' })}><Row><Column className="w-1/2 border-b border-[rgb(238,238,238)]" /><Column className="w-[102px] border-b border-stream" /></Row>
        <Text className="text-sm leading-normal" id={id}>Hi {username},</Text><Text className="m-0">You updated the password on {new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' }).format(updatedDate)}. <Link href={`https://stream.tv/reset?${new URLSearchParams({ u: username })}`} className="text-stream underline">reset</Link></Text>
        <Fragment><Steps steps={steps} /></Fragment></Section></Container></Body></Tailwind></Html>
  );
}
