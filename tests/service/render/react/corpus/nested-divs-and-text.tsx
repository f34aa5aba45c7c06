export default function Plain({ who = 'you' }: { who?: string }) {
  return (
    <html>
      <body>
        <div>Hello {who}, {1}{2}{'three'} {' '}
          <span>  spaces   kept? </span>
          {/* a comment */}
          {'{braces}'} &lt;tag&gt; &#8364; &euro;
        </div>
      </body>
    </html>
  );
}
