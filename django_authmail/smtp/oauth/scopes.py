"""What the tokens are asked for."""

#: What IMAP, POP and SMTP need; `gmail.send` is for Google's own API only.
#: https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
GOOGLE_SCOPE = "https://mail.google.com/"
#: https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
MICROSOFT_SCOPE = "https://outlook.office365.com/.default"
